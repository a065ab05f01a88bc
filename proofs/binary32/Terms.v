(** * The terms of a sum: exact value, magnitudes, costs, and the bound of the rounding

    - [charged]: the magnitude of a term, as often as it costs roundings; [spread_of]: what it comes
      to at most with some of its factors;
    - [error K L c f l] is [(1 + u)^(n - 1 + K) (u (worst + charged) + eta flushed)] for the [n]
      terms that are not 0, if no partial sum is larger than [c], nor the whole than [f]; no term
      costs more than [K] or has more than [L] factors;
    - [bounded_parts]: half of all magnitudes and the whole together is such a [c].

    Rests on WorstTree.v and Factors.v. Constants multiplied beforehand: Folds.v. One more addition,
    or product: Additions.v, Scalings.v. The induction over all evaluations is in Sums.v. *)

From Coq Require Import Reals Lra Lia List Permutation.
From Lastbit Require Import Statement Totals binary32.WorstTree.
From Lastbit Require Export binary32.Operations binary32.Factors.
Import ListNotations.
Open Scope R_scope.

(** ** Exact sum, magnitudes, and the bound *)

Definition magnitude (t : term) : R := Rabs (exact t).
Definition exact_sum (l : list term) : R := total (map exact l).
Definition size (l : list term) : R := total (map magnitude l).

Definition nonzero (m : R) : bool := if Req_EM_T m 0 then false else true.
Definition live (l : list term) : list R := filter nonzero (map magnitude l).
Definition kept (l : list term) : list term := filter (fun t => nonzero (magnitude t)) l.

Definition charged (t : term) : R := INR (cost (fst t)) * magnitude t.

(** What a term, with some of its factors, comes to at most; underflow is measured by it. *)
Definition spread_of (t : term) : R := room (fst t) * (Rabs (snd t) + 1).
Definition spread (l : list term) : R := total (map spread_of l).

(** Numbers, sums and products that underflow, and all factors that may follow, in units of
    [eta]. *)
Definition flushed (L : nat) (l : list term) : R :=
  match l with [] => 0 | _ => 12 * INR (S L) * spread l - 4 end.

(** First-order error, then the error with its amplification. *)
Definition first_order (L : nat) (c f : R) (l : list term) : R :=
  u * (worst c f (live l) + total (map charged l)) + eta * flushed L (kept l).

Definition error (K L : nat) (c f : R) (l : list term) : R :=
  (1 + u) ^ (pred (length (live l)) + K) * first_order L c f l.

Lemma magnitude_pos t : 0 <= magnitude t. Proof. apply Rabs_pos. Qed.

Lemma live_app l1 l2 : live (l1 ++ l2) = live l1 ++ live l2.
Proof. unfold live. now rewrite map_app, filter_app. Qed.

Lemma kept_app l1 l2 : kept (l1 ++ l2) = kept l1 ++ kept l2. Proof. apply filter_app. Qed.

Lemma live_kept l : live l = map magnitude (kept l).
Proof.
  unfold live, kept. induction l as [|t l IH]; [reflexivity|]. cbn [map filter]. rewrite IH.
  now destruct nonzero.
Qed.

Lemma kept_length l : (length (live l) <= length l)%nat.
Proof.
  unfold live. induction l as [|t l IH]; [apply le_n|]. cbn [map filter].
  destruct nonzero; cbn [length]; lia.
Qed.

Lemma live_nonneg l : nonneg (live l).
Proof.
  apply Forall_forall. intros m H. apply filter_In in H. destruct H as [H _].
  apply in_map_iff in H. destruct H as [t [<- _]]. apply magnitude_pos.
Qed.

Lemma nonzero_0 m : nonzero m = false <-> m = 0.
Proof. unfold nonzero. now destruct Req_EM_T. Qed.

Lemma magnitude_0 t : magnitude t = 0 <-> exact t = 0.
Proof.
  unfold magnitude. split; [|intros ->; apply Rabs_R0].
  intros H. destruct (Req_dec (exact t) 0) as [E|E]; [exact E|]. now apply Rabs_no_R0 in E.
Qed.

Lemma total_live l : total (live l) = size l.
Proof.
  unfold live, size. induction (map magnitude l) as [|m k IH]; [reflexivity|]. simpl.
  destruct (nonzero m) eqn:E; simpl; [now rewrite IH|]. apply nonzero_0 in E. rewrite IH, E. lra.
Qed.

Lemma size_pos l : 0 <= size l. Proof. rewrite <- total_live. apply total_pos, live_nonneg. Qed.

Lemma exact_sum_size l : Rabs (exact_sum l) <= size l.
Proof.
  unfold exact_sum, size. induction l as [|t l IH]; simpl; [rewrite Rabs_R0; lra|].
  apply Rle_trans with (1 := Rabs_triang _ _). unfold magnitude at 1. lra.
Qed.

Lemma spread_of_1 t : 1 <= spread_of t.
Proof.
  unfold spread_of. rewrite <- (Rmult_1_l 1) at 1. apply Rmult_le_compat; [lra|lra|apply room_1|].
  generalize (Rabs_pos (snd t)). lra.
Qed.

Lemma spread_app l1 l2 : spread (l1 ++ l2) = spread l1 + spread l2.
Proof. unfold spread. now rewrite map_app, total_app. Qed.

Lemma spread_length l : INR (length l) <= spread l.
Proof.
  unfold spread. induction l as [|t l IH]; [simpl; lra|]. cbn [length map].
  rewrite S_INR, total_cons.
  generalize (spread_of_1 t). lra.
Qed.

Lemma spread_pos l : 0 <= spread l.
Proof. apply Rle_trans with (2 := spread_length l). apply pos_INR. Qed.

Lemma spread_some l : l <> [] -> 1 <= spread l.
Proof.
  intros H. apply Rle_trans with (2 := spread_length l). destruct l as [|t l]; [easy|].
  cbn [length]. rewrite S_INR.
  generalize (pos_INR (length l)). lra.
Qed.

Lemma flushed_some L l : l <> [] -> flushed L l = 12 * INR (S L) * spread l - 4.
Proof. now destruct l. Qed.

Lemma flushed_range L l : 0 <= flushed L l <= 12 * INR (S L) * spread l.
Proof.
  destruct l as [|t l]; [unfold spread; simpl; lra|]. rewrite flushed_some by discriminate.
  assert (S1 := spread_some (t :: l) ltac:(discriminate)).
  assert (N : 1 <= INR (S L)) by (rewrite S_INR; generalize (pos_INR L); lra).
  assert (1 * 1 <= INR (S L) * spread (t :: l)) by (apply Rmult_le_compat; lra). lra.
Qed.

Lemma flushed_same L l l' : map spread_of l = map spread_of l' -> flushed L l = flushed L l'.
Proof.
  intros E. unfold flushed, spread. destruct l, l'; try discriminate; [reflexivity|now rewrite E].
Qed.

Lemma flushed_perm L l l' : Permutation l l' -> flushed L l = flushed L l'.
Proof.
  intros P. destruct l as [|t l]; [now rewrite (Permutation_nil P)|].
  assert (N : l' <> []) by (intros ->; now apply Permutation_sym, Permutation_nil in P).
  rewrite !flushed_some by (assumption || discriminate). unfold spread.
  now rewrite (total_perm _ _ (Permutation_map spread_of P)).
Qed.

Lemma flushed_join L l l' : l <> [] -> l' <> [] ->
  flushed L l + flushed L l' + 4 <= flushed L (l ++ l').
Proof.
  intros H H'. assert (N : l ++ l' <> []) by now destruct l.
  rewrite !flushed_some, spread_app by assumption. lra.
Qed.

Lemma spread_kept l : spread (kept l) <= spread l.
Proof.
  unfold spread, kept. induction l as [|t l IH]; [simpl; lra|]. cbn [filter map].
  rewrite total_cons.
  generalize (spread_of_1 t). destruct nonzero; cbn [map]; rewrite ?total_cons; lra.
Qed.

Lemma magnitude_spread t : magnitude t <= spread_of t.
Proof.
  unfold magnitude, exact, spread_of. rewrite Rabs_mult.
  apply Rmult_le_compat; try apply Rabs_pos; [apply constant_room|lra].
Qed.

Lemma size_spread l : size l <= spread (kept l).
Proof.
  rewrite <- total_live, live_kept. unfold spread. induction (kept l) as [|t k IH]; [simpl; lra|].
  cbn [map]. rewrite !total_cons. generalize (magnitude_spread t). lra.
Qed.

Lemma charged_pos l : 0 <= total (map charged l).
Proof.
  apply total_pos, Forall_forall. intros m H. apply in_map_iff in H. destruct H as (t & <- & _).
  apply Rmult_le_pos; [apply pos_INR|apply magnitude_pos].
Qed.

Lemma pow_1u n : 1 <= (1 + u) ^ n. Proof. apply pow_R1_Rle. generalize u_pos; lra. Qed.

Lemma amplify n k e : (n <= k)%nat -> 0 <= e -> (1 + u) ^ n * e <= (1 + u) ^ k * e.
Proof.
  intros H He. apply Rmult_le_compat_r; [exact He|]. apply Rle_pow; [generalize u_pos; lra|exact H].
Qed.

Lemma size_app l1 l2 : size (l1 ++ l2) = size l1 + size l2.
Proof. unfold size. now rewrite map_app, total_app. Qed.

(** A term without factors: a bias. *)
Lemma exact_bias b : exact ([], b) = b.
Proof. unfold exact, constant. cbn. ring. Qed.

Lemma exact_sum_app l1 l2 : exact_sum (l1 ++ l2) = exact_sum l1 + exact_sum l2.
Proof. unfold exact_sum. now rewrite map_app, total_app. Qed.

Lemma sums_perm l l' : Permutation l l' -> exact_sum l = exact_sum l' /\ size l = size l'.
Proof. intros P. split; now apply total_perm, Permutation_map. Qed.

(** If all terms are 0, so is the sum, and there is no error. *)
Lemma kept_none l : kept l = [] -> exact_sum l = 0 /\ forall K L c f, error K L c f l = 0.
Proof.
  intros H. assert (Lv : live l = []) by now rewrite live_kept, H.
  assert (Z : size l = 0) by now rewrite <- total_live, Lv. split.
  - destruct (Req_dec (exact_sum l) 0) as [E|E]; [exact E|]. apply Rabs_pos_lt in E.
    generalize (exact_sum_size l). lra.
  - intros K L c f. unfold error, first_order. rewrite Lv, H.
    cbn [flushed worst map total fold_right length pred].
    assert (C : total (map charged l) = 0).
    { clear Lv Z. induction l as [|t l IH]; [reflexivity|]. unfold kept in H. cbn [filter] in H.
      destruct (nonzero (magnitude t)) eqn:E; [discriminate|]. apply nonzero_0 in E. cbn [map].
      rewrite total_cons, IH by exact H. unfold charged. rewrite E. ring. }
    rewrite C. ring.
Qed.

Lemma vanish_kept z : all_vanish z -> kept z = [].
Proof.
  induction 1 as [|t z [H _] _ IH]; [reflexivity|]. unfold kept. cbn [filter].
  now rewrite (proj2 (nonzero_0 _) (proj2 (magnitude_0 t) H)).
Qed.

(** ** Partial sums *)

(** No sum of some of the terms [l] is larger than [c]. *)
Definition bounded (c : R) (l : list term) : Prop :=
  forall s t, Permutation (s ++ t) l -> Rabs (exact_sum s) <= c.

Lemma bounded_perm c l l' : Permutation l l' -> bounded c l -> bounded c l'.
Proof. intros P B s t Q. apply (B s t). now rewrite Q, P. Qed.

Lemma bounded_app c l1 l2 : bounded c (l1 ++ l2) -> bounded c l1 /\ bounded c l2.
Proof.
  intros B. split; intros s t Q.
  - apply (B s (t ++ l2)). now rewrite app_assoc, Q.
  - apply (B s (t ++ l1)). rewrite app_assoc, Q. apply Permutation_app_comm.
Qed.

Lemma bounded_all c l : bounded c l -> Rabs (exact_sum l) <= c.
Proof. intros B. apply (B l []). now rewrite app_nil_r. Qed.

Lemma bounded_pos c l : bounded c l -> 0 <= c.
Proof. intros B. apply Rle_trans with (2 := bounded_all c l B), Rabs_pos. Qed.

(** What a partial sum leaves out of the whole, [f] at most, has only the magnitudes that it has
    not. *)
(* map: no partial sum exceeds half of all magnitudes and the whole *)
Theorem bounded_parts c f l : Rabs (exact_sum l) <= f -> size l + f <= 2 * c -> bounded c l.
Proof.
  intros Hf Hc s t P. destruct (sums_perm _ _ P) as [E1 E2]. rewrite exact_sum_app in E1.
  rewrite size_app in E2. assert (S := exact_sum_size s). assert (T := exact_sum_size t).
  assert (Rabs (exact_sum s) <= Rabs (exact_sum l) + Rabs (exact_sum t)).
  { replace (exact_sum s) with (exact_sum l + - exact_sum t) by lra.
    apply Rle_trans with (1 := Rabs_triang _ _). rewrite Rabs_Ropp. lra. }
  lra.
Qed.

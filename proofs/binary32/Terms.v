(** * The terms of a sum: exact value, magnitudes, costs, and the bound of the rounding

    - [cost fs]: the roundings that a product with the factors [fs] may have: none for a power of two,
      one for a multiplication, two for a division; [charged]: the magnitude of a term, so many times;
    - [error K L c f l] is [(1 + u)^(n - 1 + K) (u (worst + charged) + eta flushes)] for the [n] terms
      that are not 0, if no partial sum is larger than [c], nor the whole than [f]; no term costs more
      than [K] or has more than [L] factors;
    - [bounded_parts]: half of all magnitudes and the whole together is such a [c].

    Rests on WorstTree.v. Constants multiplied beforehand: Folds.v. One more addition, or product:
    Additions.v, Scalings.v. The induction over all evaluations is in Sums.v. *)

From Flocq.Core Require Import Raux Zaux.
From Coq Require Import Reals Lra Lia List Permutation.
From Lastbit Require Import Statement Totals binary32.WorstTree.
Import ListNotations.
Open Scope R_scope.

Lemma u_pos : 0 < u. Proof. unfold u. apply Rinv_0_lt_compat, pow_lt; lra. Qed.
Lemma eta_pos : 0 < eta. Proof. unfold eta. apply Rinv_0_lt_compat, pow_lt; lra. Qed.

(** ** Results, and operands that are read *)

Lemma rounds_error t v : rounds t v -> Rabs t <= largest ->
  exists r, v = Finite r /\ Rabs (r - t) <= u * Rabs t + eta.
Proof.
  intros H L. destruct (H L) as (r & -> & E). exists r. split; [reflexivity|].
  assert (0 <= u * Rabs t) by (apply Rmult_le_pos; [apply Rlt_le, u_pos|apply Rabs_pos]).
  generalize eta_pos. destruct E as [E|[_ E]]; lra.
Qed.

Lemma shifts_error t v : shifts t v -> Rabs t <= largest -> exists r, v = Finite r /\ Rabs (r - t) <= eta.
Proof.
  intros H L. destruct (H L) as (r & -> & E). exists r. split; [reflexivity|].
  destruct E as [->|[_ E]]; [|exact E]. rewrite Rminus_diag_eq, Rabs_R0 by reflexivity. apply Rlt_le, eta_pos.
Qed.

Lemma shifts_rounds t v : shifts t v -> rounds t v.
Proof.
  intros H L. destruct (H L) as (r & -> & E). exists r. split; [reflexivity|]. destruct E as [->|E]; [left|now right].
  rewrite Rminus_diag_eq, Rabs_R0 by reflexivity. apply Rmult_le_pos; [apply Rlt_le, u_pos|apply Rabs_pos].
Qed.

Lemma shifts_exact t : shifts t (Finite t).
Proof. intros _. exists t. split; [reflexivity|now left]. Qed.

Lemma rounds_exact t : rounds t (Finite t).
Proof. apply shifts_rounds, shifts_exact. Qed.

Lemma largest_pos : 2 ^ 127 <= largest. Proof. unfold largest. lra. Qed.

Lemma rounds_0 v : rounds 0 v -> v = Finite 0.
Proof.
  intros H. destruct H as (r & -> & E); [rewrite Rabs_R0; generalize largest_pos; lra|]. f_equal.
  rewrite Rminus_0_r, Rabs_R0, Rmult_0_r in E. destruct E as [E|[E _]]; [|lra].
  destruct (Req_dec r 0) as [Z|Z]; [exact Z|]. apply Rabs_pos_lt in Z. lra.
Qed.

Lemma reads_refl x : reads x x. Proof. now left. Qed.

Lemma reads_trans x y z : reads x y -> reads y z -> reads x z.
Proof.
  intros [->|[-> H]]; [easy|]. intros [->|[-> _]]; right; auto.
Qed.

Lemma reads_0 x : reads 0 x -> x = 0. Proof. now intros [->|[-> _]]. Qed.

Lemma reads_error x y : reads x y -> Rabs (y - x) <= eta.
Proof.
  intros [->|[-> H]]; [rewrite Rminus_diag_eq, Rabs_R0 by easy; apply Rlt_le, eta_pos|].
  now rewrite Rminus_0_l, Rabs_Ropp.
Qed.

Lemma reads_abs x y : reads x y -> Rabs y <= Rabs x.
Proof. intros [->|[-> _]]; [lra|]. rewrite Rabs_R0. apply Rabs_pos. Qed.

(** A product of operands that are read: off by [eta] times the other operand. *)
Lemma reads_product w x w' x' : reads w w' -> reads x x' ->
  Rabs (w' * x' - w * x) <= eta * (Rabs w + Rabs x) /\ Rabs (w' * x') <= Rabs (w * x).
Proof.
  intros Hw Hx. split.
  - assert (He := eta_pos). assert (Pw := Rabs_pos w). assert (Px := Rabs_pos x).
    destruct Hw as [->|[-> Hw]].
    + replace (w * x' - w * x) with (w * (x' - x)) by ring. rewrite Rabs_mult.
      assert (K := reads_error _ _ Hx).
      assert (Rabs w * Rabs (x' - x) <= Rabs w * eta) by now apply Rmult_le_compat_l.
      assert (0 <= eta * Rabs x) by (apply Rmult_le_pos; lra). lra.
    + rewrite Rmult_0_l, Rminus_0_l, Rabs_Ropp, Rabs_mult.
      assert (Rabs w * Rabs x <= eta * Rabs x) by now apply Rmult_le_compat_r.
      assert (0 <= eta * Rabs w) by (apply Rmult_le_pos; lra). lra.
  - rewrite !Rabs_mult. apply Rmult_le_compat; try apply Rabs_pos; now apply reads_abs.
Qed.

(** ** Constants *)

(** Products that are rounded: those with a power of two are not. *)
Definition scales (w : R) : bool := if Req_EM_T (Rabs w) (bpow radix2 (mag radix2 w - 1)) then true else false.

Lemma scales_power w : scales w = true -> power_of_two w.
Proof.
  unfold scales. destruct Req_EM_T as [E|]; [intros _|easy]. exists (mag radix2 w - 1)%Z. rewrite E. now rewrite bpow_powerRZ.
Qed.

Lemma power_scales w e : Rabs w = bpow radix2 e -> scales w = true.
Proof.
  intros E. unfold scales. rewrite <- mag_abs, E, mag_bpow. replace (e + 1 - 1)%Z with e by ring.
  destruct Req_EM_T; [reflexivity|congruence].
Qed.

Definition cost_of (f : factor) : nat :=
  match f with Times c => if scales c then 0 else 1 | Over c => if scales c then 0 else 2 end.
Definition cost (fs : list factor) : nat := list_sum (map cost_of fs).

(** No product of some of the factors is larger. *)
Definition room (fs : list factor) : R := fold_right Rmult 1 (map (fun f => Rmax 1 (Rabs (number f))) fs).

Lemma constant_app fs gs : constant (fs ++ gs) = constant fs * constant gs.
Proof. unfold constant. induction fs as [|f fs IH]; simpl; [ring|]. rewrite IH. ring. Qed.

Lemma cost_app fs gs : cost (fs ++ gs) = (cost fs + cost gs)%nat.
Proof. unfold cost. now rewrite map_app, list_sum_app. Qed.

Lemma room_app fs gs : room (fs ++ gs) = room fs * room gs.
Proof. unfold room. induction fs as [|f fs IH]; simpl; [ring|]. rewrite IH. ring. Qed.

Lemma room_1 fs : 1 <= room fs.
Proof.
  unfold room. induction fs as [|f fs IH]; simpl; [lra|]. rewrite <- (Rmult_1_l 1) at 1.
  apply Rmult_le_compat; [lra|lra|apply Rmax_l|exact IH].
Qed.

Lemma constant_room fs : Rabs (constant fs) <= room fs.
Proof.
  unfold constant, room. induction fs as [|f fs IH]; simpl; [rewrite Rabs_R1; lra|]. rewrite Rabs_mult.
  apply Rmult_le_compat; [apply Rabs_pos|apply Rabs_pos|apply Rmax_r|exact IH].
Qed.

Lemma factors_perm fs gs : Permutation fs gs ->
  constant fs = constant gs /\ cost fs = cost gs /\ room fs = room gs /\ length fs = length gs.
Proof.
  unfold constant, room.
  induction 1 as [|f fs gs _ (I1 & I2 & I3 & I4)|f g fs|fs gs hs _ (I1 & I2 & I3 & I4) _ (J1 & J2 & J3 & J4)].
  - now repeat split.
  - unfold cost in *. cbn [map fold_right length list_sum]. unfold list_sum in *. cbn [fold_right].
    rewrite I1, I2, I3, I4. now repeat split.
  - unfold cost. simpl. split; [ring|]. split; [lia|]. split; [ring|reflexivity].
  - repeat split; congruence.
Qed.

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

(** First-order error, then the error with its amplification. *)
Definition first_order (L : nat) (c f : R) (l : list term) : R :=
  u * (worst c f (live l) + total (map charged l)) +
  eta * (8 * INR (pred (length (live l)) + L) * spread (kept l)).

Definition error (K L : nat) (c f : R) (l : list term) : R :=
  (1 + u) ^ (pred (length (live l)) + K) * first_order L c f l.

Lemma magnitude_pos t : 0 <= magnitude t. Proof. apply Rabs_pos. Qed.

Lemma live_app l1 l2 : live (l1 ++ l2) = live l1 ++ live l2.
Proof. unfold live. now rewrite map_app, filter_app. Qed.

Lemma kept_app l1 l2 : kept (l1 ++ l2) = kept l1 ++ kept l2. Proof. apply filter_app. Qed.

Lemma live_kept l : live l = map magnitude (kept l).
Proof.
  unfold live, kept. induction l as [|t l IH]; [reflexivity|]. cbn [map filter]. rewrite IH. now destruct nonzero.
Qed.

Lemma kept_length l : (length (live l) <= length l)%nat.
Proof.
  unfold live. induction l as [|t l IH]; [apply le_n|]. cbn [map filter]. destruct nonzero; cbn [length]; lia.
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
  unfold spread. induction l as [|t l IH]; [simpl; lra|]. cbn [length map]. rewrite S_INR, total_cons.
  generalize (spread_of_1 t). lra.
Qed.

Lemma spread_pos l : 0 <= spread l.
Proof. apply Rle_trans with (2 := spread_length l). apply pos_INR. Qed.

Lemma spread_kept l : spread (kept l) <= spread l.
Proof.
  unfold spread, kept. induction l as [|t l IH]; [simpl; lra|]. cbn [filter map]. rewrite total_cons.
  generalize (spread_of_1 t). destruct nonzero; cbn [map]; rewrite ?total_cons; lra.
Qed.

Lemma magnitude_spread t : magnitude t <= spread_of t.
Proof.
  unfold magnitude, exact, spread_of. rewrite Rabs_mult. apply Rmult_le_compat; try apply Rabs_pos; [apply constant_room|lra].
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

Lemma exact_sum_app l1 l2 : exact_sum (l1 ++ l2) = exact_sum l1 + exact_sum l2.
Proof. unfold exact_sum. now rewrite map_app, total_app. Qed.

Lemma sums_perm l l' : Permutation l l' -> exact_sum l = exact_sum l' /\ size l = size l'.
Proof. intros P. split; now apply total_perm, Permutation_map. Qed.

(** If all terms are 0, so is the sum, and there is no error. *)
Lemma kept_none l : kept l = [] -> exact_sum l = 0 /\ forall K L c f, error K L c f l = 0.
Proof.
  intros H. assert (Lv : live l = []) by now rewrite live_kept, H.
  assert (Z : size l = 0) by now rewrite <- total_live, Lv. split.
  - destruct (Req_dec (exact_sum l) 0) as [E|E]; [exact E|]. apply Rabs_pos_lt in E. generalize (exact_sum_size l). lra.
  - intros K L c f. unfold error, first_order. rewrite Lv, H. unfold spread. cbn [worst map total fold_right length pred].
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

(** What a partial sum leaves out of the whole, [f] at most, has only the magnitudes that it has not. *)
Theorem bounded_parts c f l : Rabs (exact_sum l) <= f -> size l + f <= 2 * c -> bounded c l.
Proof.
  intros Hf Hc s t P. destruct (sums_perm _ _ P) as [E1 E2]. rewrite exact_sum_app in E1. rewrite size_app in E2.
  assert (S := exact_sum_size s). assert (T := exact_sum_size t).
  assert (Rabs (exact_sum s) <= Rabs (exact_sum l) + Rabs (exact_sum t)).
  { replace (exact_sum s) with (exact_sum l + - exact_sum t) by lra. apply Rle_trans with (1 := Rabs_triang _ _).
    rewrite Rabs_Ropp. lra. }
  lra.
Qed.

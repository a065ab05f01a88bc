(** * The rounding of a linear unit, as the checker computes it

    - [layer_rounding]: from upper bounds [bs] of the magnitudes of all terms; [m] is what is not 0
      of them, in descending order, and [f] bounds the whole sum. With [n] terms, none of which
      costs more than [K], [h >= n - 1 + K] and [h u <= 1/2], every evaluation is finite and within
      [u (T' + P) / (1 - h u)] and underflow of the exact sum, where [T' = climb c f m] adds up the
      partial sums of [m], none of them taken for larger than [c = (total m + f) / 2], and [P]
      bounds the magnitudes, each as often as its term costs ([charged]);
    - [layer_formula]: that is at most [u (T' + P + 1.004 h^2 u sum m)], as docs/bound.md has it;
    - [layer_spread]: what underflow is measured by, and the hypothesis on overflow ([in_range]),
      from the largest product of factors and the largest number.

    Rests on Sums.v and WorstTree.v. Stands behind [Layer.rounding] and the rules rounding.depth and
    finite.values for linear nodes. *)

From Coq Require Import Reals Lra Lia List Permutation.
From Lastbit Require Import Statement Totals binary32.WorstTree binary32.Terms binary32.Folds
  binary32.Additions binary32.Sums.
Import ListNotations.
Open Scope R_scope.

(** ** From the terms to upper bounds of them *)

(** Members that are 0 can be left out. *)
Lemma worst_filter c f l : 0 <= c -> 0 <= f -> nonneg l ->
  worst c f (filter nonzero l) <= worst c f l.
Proof.
  intros Hc Hf.
  assert (K : forall k a, nonneg (a ++ k) -> worst c f (a ++ filter nonzero k) <=
    worst c f (a ++ k)).
  { induction k as [|x k IH]; intros a H; [rewrite !app_nil_r; lra|]. simpl. destruct (nonzero x).
    - replace (a ++ x :: filter nonzero k) with ((a ++ [x]) ++ filter nonzero k)
        by now rewrite <- app_assoc.
      replace (a ++ x :: k) with ((a ++ [x]) ++ k) in * by now rewrite <- app_assoc. now apply IH.
    - apply Forall_app in H. destruct H as [Ha Hk]. inversion_clear Hk as [|? ? Hx Hk'].
      assert (Hak : nonneg (a ++ k)) by now apply Forall_app.
      apply Rle_trans with (1 := IH a Hak). rewrite (worst_perm c f (a ++ x :: k) (x :: a ++ k)).
      + now apply worst_cons.
      + apply Permutation_sym, Permutation_middle. }
  exact (K l []).
Qed.

(** The terms that are not 0 lie below the bounds that are not 0. *)
Lemma live_below l bs : Forall2 (fun t b => magnitude t <= b) l bs ->
  exists k, Forall2 Rle k (filter nonzero bs) /\ live l = filter nonzero k /\ nonneg k /\
  total k = size l.
Proof.
  induction 1 as [|t b l bs Htb _ (k & K1 & K2 & K3 & K4)]; [exists []; now repeat constructor|].
  unfold live, size. simpl. fold (live l). fold (size l). assert (P := magnitude_pos t).
  destruct (nonzero b) eqn:Eb.
  - exists (magnitude t :: k). repeat split; try now constructor.
    + simpl. rewrite <- K2. reflexivity.
    + change (magnitude t + total k = magnitude t + size l). now rewrite K4.
  - apply nonzero_0 in Eb. assert (Z : magnitude t = 0) by lra. exists k.
    rewrite (proj2 (nonzero_0 _) Z), Z. repeat split; auto. fold (size l). lra.
Qed.

Lemma nonneg_le k b : Forall2 Rle k b -> nonneg k -> nonneg b.
Proof.
  induction 1 as [|x y k b Hxy _ IH]; intros N; [constructor|].
  inversion_clear N. constructor; [lra|now apply IH].
Qed.

Lemma filter_length l : (length (filter nonzero l) <= length l)%nat.
Proof. induction l as [|x l IH]; simpl; [lia|]. destruct (nonzero x); simpl; lia. Qed.

(** ** The rule *)

(** [T' + P]: what the sums, and the products of magnitudes [P] in all, amount to. *)
Definition roundings (c f : R) (m : list R) (P : R) : R := climb c f m + P.

(** Underflow, and subnormal operands read as 0. *)
Definition underflow (L : nat) (S : R) : R := eta * (24 * INR (L + 1) * S + 1).

(* map: the rounding of a sum that the checker's numbers bound *)
Theorem layer_rounding l v bs m h K L P F c f S : sum l v -> in_range K L l ->
  Forall2 (fun t b => magnitude t <= b) l bs ->
  Permutation (filter nonzero bs) m -> descending m ->
  (pred (length m) + K <= h)%nat -> INR h * u <= / 2 ->
  total (map charged l) <= P -> spread (kept l) <= S ->
  Rabs (exact_sum l) <= F -> Rmin F (total m) <= f -> total m + f <= 2 * c ->
  exists p, v = Finite p /\ Rabs (p - exact_sum l) <= u * roundings c f m P / (1 - INR h * u) +
    underflow L S.
Proof.
  intros Hv Hr Hb Hm Hd Hn Hh HP HS HF Hff Hcf. assert (Hu := u_pos). assert (He := eta_pos).
  destruct (live_below l bs Hb) as (k & K1 & K2 & K3 & K4).
  assert (Nm : nonneg m) by now apply (nonneg_perm _ _ Hm), (nonneg_le k).
  assert (Lk : length k = length m)
    by (rewrite <- (Permutation_length Hm); now apply (Forall2_length (P := Rle))).
  assert (Ll : (length (live l) <= length m)%nat) by (rewrite K2, <- Lk; apply filter_length).
  assert (Sz : size l <= total m).
  { rewrite <- K4, <- (total_perm _ _ Hm). now apply total_le. }
  assert (Hf : Rabs (exact_sum l) <= f).
  { apply Rle_trans with (2 := Hff). apply Rmin_glb; [exact HF|].
    apply Rle_trans with (2 := Sz), exact_sum_size. }
  assert (F0 : 0 <= f) by (apply Rle_trans with (2 := Hf), Rabs_pos).
  assert (Bd : bounded c l) by (apply (bounded_parts c f l Hf); lra).
  assert (Hc := bounded_pos c l Bd).
  set (g := Rmin f (size l)). assert (Hg : Rabs (exact_sum l) <= g <= size l).
  { split; [apply Rmin_glb; [exact Hf|apply exact_sum_size]|apply Rmin_r]. }
  assert (G0 : 0 <= g) by exact (Rle_trans _ _ _ (Rabs_pos _) (proj1 Hg)).
  assert (Wm : worst c g (live l) <= climb c f m).
  { rewrite <- worst_sorted by assumption. rewrite K2, <- (worst_perm c f _ _ Hm).
    apply Rle_trans with (1 := worst_filter c g k Hc G0 K3).
    apply worst_le; [apply Rmin_l|exact K1]. }
  assert (An := growth_inv (pred (length (live l)) + K) h ltac:(lia) ltac:(lra)).
  assert (Two : / (1 - INR h * u) <= 2).
  { replace 2 with (/ / 2) by field. apply Rinv_le_contravar; lra. }
  assert (Err : error K L c g l + eta <= u * roundings c f m P / (1 - INR h * u) + underflow L S).
  { unfold underflow, error, first_order, roundings. set (A := (1 + u) ^ (pred (length (live l)) +
      K)) in *.
    assert (A1 : 1 <= A) by apply pow_1u.
    assert (W0 := worst_pos c Hc g _ G0 (live_nonneg l)). assert (P0 := charged_pos l).
    assert (S0 := spread_pos (kept l)).
    assert (D1 : A * (u * (worst c g (live l) + total (map charged l))) <=
      / (1 - INR h * u) * (u * (climb c f m + P))).
    { apply Rmult_le_compat; [lra| |exact An|apply Rmult_le_compat_l; lra]. apply Rmult_le_pos; lra.
      }
    assert (D2 : A * (eta * flushed L (kept l)) <= 2 * (eta * (12 * INR (L + 1) * S))).
    { rewrite Nat.add_1_r. destruct (flushed_range L (kept l)) as [G1 G2]. assert (Q := pos_INR
        (Datatypes.S L)).
      apply Rmult_le_compat; [lra|apply Rmult_le_pos; lra|lra|]. apply Rmult_le_compat_l; [lra|].
      apply Rle_trans with (1 := G2). apply Rmult_le_compat_l; lra. }
    rewrite Rmult_plus_distr_l. unfold Rdiv. lra. }
  destruct (sum_error l v Hv K L c g Hr Bd Hg) as (a & p & -> & Ra & Ea).
  exists p. split; [reflexivity|].
  replace (p - exact_sum l) with ((p - a) + (a - exact_sum l)) by ring.
  apply Rle_trans with (1 := Rabs_triang _ _). generalize (reads_error _ _ Ra). lra.
Qed.

(** [reach] bounds the products of a term's factors, [X] the numbers. *)
(* map: what underflow and operands read as 0 add to a sum *)
Lemma layer_spread K L l reach X : Forall (limited K L) l -> INR (length l + K + L) <= 2 ^ 20 ->
  (forall t, In t l -> room (fst t) <= reach /\ Rabs (snd t) <= X) ->
    4 * (INR (length l) * (reach * (X + 1))) <= largest ->
  in_range K L l /\ spread (kept l) <= INR (length l) * (reach * (X + 1)).
Proof.
  intros F N H S. assert (B : spread l <= INR (length l) * (reach * (X + 1))).
  { clear -H. unfold spread. induction l as [|t l IH];
      [simpl; lra|]. cbn [map length]. rewrite total_cons, S_INR.
    specialize (IH (fun t I => H t (or_intror I))). destruct (H t (or_introl eq_refl)) as [A B].
    assert (spread_of t <= reach * (X + 1)); [|lra]. assert (R := room_1 (fst t)).
    apply Rmult_le_compat; [lra|generalize (Rabs_pos (snd t)); lra|exact A|lra]. }
  split; [split; [exact F|split; [lra|exact N]]|]. apply Rle_trans with (2 := B), spread_kept.
Qed.

(** However large the parts are, they are at most [h] times all terms. *)
Lemma roundings_simple c f m h : nonneg m -> descending m -> 0 <= c -> f <= total m ->
  (length m <= h)%nat ->
  roundings c f m (total m) <= INR h * total m.
Proof.
  intros Nm Dm Hc Hf Hm. assert (T0 := total_pos m Nm). unfold roundings.
  rewrite <- worst_sorted by assumption. assert (W := worst_simple c f m Nm Hf).
  destruct m as [|x m]; [change (worst c f []) with 0; change (total []) with 0; lra|].
  assert (INR (pred (length (x :: m))) * total (x :: m) + total (x :: m) =
    INR (length (x :: m)) * total (x :: m))
    by (cbn [length pred]; rewrite S_INR; ring).
  assert (INR (length (x :: m)) * total (x :: m) <= INR h * total (x :: m))
    by (apply Rmult_le_compat_r; [lra|now apply le_INR]).
  lra.
Qed.

(** The checker's formula, of second order in [h u]. *)
(* map: the term of second order in the number of roundings *)
Lemma layer_formula c f m h P : nonneg m -> descending m -> 0 <= c -> 0 <= f <= total m ->
  (length m <= h)%nat ->
  INR h * u <= / 2 ^ 9 -> 0 <= P <= total m ->
  u * roundings c f m P / (1 - INR h * u) <=
  u * (roundings c f m P + 251 / 250 * INR h ^ 2 * u * total m).
Proof.
  assert (K : 251 / 250 = 251 / 250) by reflexivity. set (k := 251 / 250) in K at 1 |- *.
  clearbody k. intros Nm Dm Hc [Hf0 Hf] Hm Hh [HP0 HP]. assert (Hu := u_pos).
  assert (P1 := pos_INR h). assert (Hhu : 0 <= INR h * u) by (apply Rmult_le_pos; lra).
  assert (Rs := roundings_simple c f m h Nm Dm Hc Hf Hm). unfold roundings in *.
  assert (C0 : 0 <= climb c f m) by (rewrite <- worst_sorted by assumption; now apply worst_pos).
  set (t := climb c f m + P) in *. assert (Ht : 0 <= t <= INR h * total m) by (unfold t; lra).
  unfold Rdiv. rewrite Rmult_assoc. apply Rmult_le_compat_l; [lra|].
  apply (Rmult_le_reg_r (1 - INR h * u)); [lra|]. rewrite Rmult_assoc, Rinv_l, Rmult_1_r by lra.
  set (e := INR h * u) in *.
  assert (E1 : k * INR h ^ 2 * u * total m = k * e * (INR h * total m)) by (unfold e; ring).
  rewrite E1.
  assert (E2 : k * e * t <= k * e * (INR h * total m))
    by (apply Rmult_le_compat_l; [rewrite K|]; lra).
  assert (E3 : 0 <= k - 1 - k * e) by (rewrite K; lra).
  apply Rle_trans with ((t + k * e * t) * (1 - e)); [|apply Rmult_le_compat_r; lra].
  replace ((t + k * e * t) * (1 - e)) with (t + t * e * (k - 1 - k * e)) by ring.
  assert (0 <= t * e * (k - 1 - k * e)) by (apply Rmult_le_pos; [apply Rmult_le_pos|]; lra). lra.
Qed.

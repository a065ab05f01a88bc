(** * The rounding of a linear unit, as the checker computes it

    - [layer_rounding]: from upper bounds [bs] of the magnitudes of all terms; [m] is what is not 0
      of them, in descending order, and [f] bounds the whole sum. With [n] terms, [h >= n] and
      [h u <= 1/2], every evaluation is finite and within [u (T' + P) / (1 - h u)] and underflow of the
      exact sum, where [T' = climb c f m] adds up the partial sums of [m], none of them taken for larger
      than [c = (total m + f) / 2], and [P <= sum m] is the part of the products with no power of two;
    - [layer_formula]: that is at most [u (T' + P + 1.004 h^2 u sum m)], as docs/bound.md has it;
    - [layer_finite]: the hypothesis on overflow, from the two conditions that the checker tests.

    Rests on Sums.v and WorstTree.v. Stands behind [Layer.rounding] (with [extra >= 1]),
    [layer_underflow] and the rules rounding.depth and finite.values for linear nodes without batch
    normalisation. The lemma on [(1 + u)^h] is Higham's (Accuracy and Stability of Numerical
    Algorithms, 2nd ed., lemma 3.1). *)

From Coq Require Import Reals Lra Lia List Permutation.
From Lastbit Require Import Statement Totals binary32.WorstTree binary32.Terms binary32.Sums.
Import ListNotations.
Open Scope R_scope.

(** ** Errors of errors *)

Lemma growth h : INR h * u < 1 -> (1 + u) ^ h * (1 - INR h * u) <= 1.
Proof.
  assert (Hu := u_pos). intros H. induction h as [|h IH]; [simpl; lra|].
  rewrite S_INR in *. assert (P := pow_1u h).
  apply Rle_trans with ((1 + u) ^ h * (1 - INR h * u)); [|apply IH; lra].
  change ((1 + u) ^ S h) with ((1 + u) * (1 + u) ^ h).
  replace ((1 + u) * (1 + u) ^ h * (1 - (INR h + 1) * u)) with
    ((1 + u) ^ h * (1 - INR h * u - u * u * (INR h + 1))) by ring.
  apply Rmult_le_compat_l; [lra|]. generalize (pos_INR h). intros.
  assert (0 <= u * u * (INR h + 1)) by (repeat apply Rmult_le_pos; lra). lra.
Qed.

Lemma growth_inv n h : (n <= h)%nat -> INR h * u < 1 -> (1 + u) ^ n <= / (1 - INR h * u).
Proof.
  intros Hn Hh. apply Rle_trans with ((1 + u) ^ h).
  - apply Rle_pow; [generalize u_pos; lra|exact Hn].
  - apply (Rmult_le_reg_r (1 - INR h * u)); [lra|]. rewrite Rinv_l by lra. now apply growth.
Qed.

(** ** From the terms to upper bounds of them *)

(** Members that are 0 can be left out. *)
Lemma worst_filter c f l : 0 <= c -> 0 <= f -> nonneg l -> worst c f (filter nonzero l) <= worst c f l.
Proof.
  intros Hc Hf.
  assert (K : forall k a, nonneg (a ++ k) -> worst c f (a ++ filter nonzero k) <= worst c f (a ++ k)).
  { induction k as [|x k IH]; intros a H; [rewrite !app_nil_r; lra|]. simpl. destruct (nonzero x).
    - replace (a ++ x :: filter nonzero k) with ((a ++ [x]) ++ filter nonzero k) by now rewrite <- app_assoc.
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
  exists k, Forall2 Rle k (filter nonzero bs) /\ live l = filter nonzero k /\ nonneg k /\ total k = size l.
Proof.
  induction 1 as [|t b l bs Htb _ (k & K1 & K2 & K3 & K4)]; [exists []; now repeat constructor|].
  unfold live, size. simpl. fold (live l). fold (size l). assert (P := magnitude_pos t).
  destruct (nonzero b) eqn:Eb.
  - exists (magnitude t :: k). repeat split; try now constructor.
    + simpl. rewrite <- K2. reflexivity.
    + change (magnitude t + total k = magnitude t + size l). now rewrite K4.
  - apply nonzero_0 in Eb. assert (Z : magnitude t = 0) by lra. exists k. rewrite (proj2 (nonzero_0 _) Z), Z.
    repeat split; auto. fold (size l). lra.
Qed.

Lemma nonneg_le k b : Forall2 Rle k b -> nonneg k -> nonneg b.
Proof.
  induction 1 as [|x y k b Hxy _ IH]; intros N; [constructor|].
  inversion_clear N. constructor; [lra|now apply IH].
Qed.

Lemma length_le k b : Forall2 Rle k b -> length k = length b.
Proof. induction 1; simpl; auto. Qed.

Lemma filter_length l : (length (filter nonzero l) <= length l)%nat.
Proof. induction l as [|x l IH]; simpl; [lia|]. destruct (nonzero x); simpl; lia. Qed.

(** ** Underflow *)

(** Sum of the magnitudes of the weights of the products that are not 0. *)
Definition weight_of (t : term) : R :=
  match t with Product w _ => if nonzero (magnitude t) then Rabs w else 0 | Constant _ => 0 end.
Definition weights (l : list term) : R := total (map weight_of l).

Lemma flushes_le X l : 0 <= X -> (forall w x, In (Product w x) l -> Rabs x <= X) ->
  total (map flush_of l) <= 2 * (weights l + INR (length (live l)) * (X + 1)).
Proof.
  intros HX. unfold weights, live. induction l as [|t l IH]; intros H; [simpl; lra|].
  assert (IH' := IH (fun w x I => H w x (or_intror I))). clear IH.
  simpl. destruct t as [w x|b].
  - simpl. destruct (nonzero (magnitude (Product w x))) eqn:E; [|unfold total in *; lra].
    cbn [length]. rewrite S_INR. specialize (H w x (or_introl eq_refl)). unfold total in *. lra.
  - simpl. destruct (nonzero (magnitude (Constant b))); [|unfold total in *; lra].
    cbn [length]. rewrite S_INR. unfold total in *. lra.
Qed.

(** Products are at most all terms. *)
Lemma products_size l : total (map products_of l) <= size l.
Proof.
  unfold size. induction l as [|[w x|b] l IH]; simpl; unfold total in *; [lra| |].
  - generalize (magnitude_pos (Product w x)). destruct scales; lra.
  - generalize (magnitude_pos (Constant b)); lra.
Qed.

(** ** The rule *)

(** [T' + P]: what the sums, and the products of magnitudes [P] in all, amount to. *)
Definition roundings (c f : R) (m : list R) (P : R) : R := climb c f m + P.

(** Underflow, and subnormal operands read as 0. *)
Definition underflow (n : nat) (W X : R) : R := eta * (4 * (W + INR n * (X + 3)) + 1).

Theorem layer_rounding l v bs m h X P F c f : sum l v ->
  Forall2 (fun t b => magnitude t <= b) l bs ->
  Permutation (filter nonzero bs) m -> descending m ->
  (length m <= h)%nat -> INR h * u <= / 2 ->
  0 <= X -> (forall w x, In (Product w x) l -> Rabs x <= X) -> total (map products_of l) <= P ->
  Rabs (exact_sum l) <= F -> Rmin F (total m) <= f -> total m + f <= 2 * c ->
  let E := u * roundings c f m P / (1 - INR h * u) + underflow (length m) (weights l) X in
  total m + E <= largest ->
  exists p, v = Finite p /\ Rabs (p - exact_sum l) <= E.
Proof.
  intros Hv Hb Hm Hd Hn Hh HX Hx HP HF Hff Hcf E Hl. assert (Hu := u_pos). assert (He := eta_pos).
  destruct (live_below l bs Hb) as (k & K1 & K2 & K3 & K4).
  assert (Nm : nonneg m).
  { now apply (nonneg_perm _ _ Hm), (nonneg_le k). }
  assert (Lk : length k = length m) by (rewrite <- (Permutation_length Hm); now apply length_le).
  assert (Ll : (length (live l) <= length m)%nat) by (rewrite K2, <- Lk; apply filter_length).
  assert (Sz : size l <= total m).
  { rewrite <- K4, <- (total_perm _ _ Hm). now apply total_le. }
  assert (Hf : Rabs (exact_sum l) <= f).
  { apply Rle_trans with (2 := Hff). apply Rmin_glb; [exact HF|]. apply Rle_trans with (2 := Sz), exact_sum_size. }
  assert (F0 : 0 <= f) by (apply Rle_trans with (2 := Hf), Rabs_pos).
  assert (Bd : bounded c l) by (apply (bounded_parts c f l Hf); lra).
  assert (Hc := bounded_pos c l Bd).
  assert (Wm : worst c f (live l) <= climb c f m).
  { rewrite <- worst_sorted by assumption. rewrite K2, <- (worst_perm c f _ _ Hm).
    apply Rle_trans with (1 := worst_filter c f k Hc F0 K3). apply worst_le; [lra|exact K1]. }
  assert (Fl := flushes_le X l HX Hx).
  assert (An := growth_inv (length (live l)) h ltac:(lia) ltac:(lra)).
  assert (Two : / (1 - INR h * u) <= 2).
  { replace 2 with (/ / 2) by field. apply Rinv_le_contravar; lra. }
  assert (Lr : INR (length (live l)) <= INR (length m)) by now apply le_INR.
  assert (Err : error c f l + eta <= E).
  { unfold E, underflow, error, first_order, roundings. set (A := (1 + u) ^ length (live l)) in *.
    assert (A1 : 1 <= A) by apply pow_1u.
    assert (W0 := worst_pos c Hc f _ F0 (live_nonneg l)). assert (P0 := products_pos l).
    assert (D1 : A * (u * (worst c f (live l) + total (map products_of l))) <= / (1 - INR h * u) * (u * (climb c f m + P))).
    { apply Rmult_le_compat; [lra| |exact An|apply Rmult_le_compat_l; lra]. apply Rmult_le_pos; lra. }
    assert (D2 : A * (eta * (total (map flush_of l) + 4 * INR (pred (length (live l))))) <=
                 2 * (eta * (2 * (weights l + INR (length m) * (X + 3))))).
    { assert (Q : INR (pred (length (live l))) <= INR (length m)) by (apply le_INR; lia).
      assert (Q2 : INR (length (live l)) * (X + 1) <= INR (length m) * (X + 1)) by (apply Rmult_le_compat_r; lra).
      apply Rmult_le_compat; [lra| |lra|apply Rmult_le_compat_l; lra].
      apply Rmult_le_pos; [lra|]. generalize (flush_pos l) (pos_INR (pred (length (live l)))). lra. }
    rewrite Rmult_plus_distr_l. unfold Rdiv. lra. }
  destruct (sum_error c Hc l v Hv f Bd Hf) as (a & p & -> & Ra & Ea); [lra|].
  exists p. split; [reflexivity|]. replace (p - exact_sum l) with ((p - a) + (a - exact_sum l)) by ring.
  apply Rle_trans with (1 := Rabs_triang _ _). generalize (reads_error _ _ Ra). lra.
Qed.

(** [layer_underflow]: the checker's term for underflow, [64 (terms + 1) reach (X + 1) eta], where
    [reach >= 1] bounds the sum of the weights, is more than enough for one constant beside them. *)
Lemma layer_underflow n terms W X reach : (n <= terms + 1)%nat ->
  0 <= W <= reach -> 1 <= reach -> 0 <= X ->
  underflow n W X <= 64 * (INR terms + 1) * reach * (X + 1) * eta.
Proof.
  intros Hn [HW HWr] Hr HX. assert (He := eta_pos). unfold underflow.
  assert (Q : INR n <= INR terms + 1) by (rewrite <- S_INR; apply le_INR; lia).
  assert (T := pos_INR terms).
  replace (64 * (INR terms + 1) * reach * (X + 1) * eta) with (eta * (64 * (INR terms + 1) * reach * (X + 1))) by ring.
  apply Rmult_le_compat_l; [lra|].
  assert (B1 : INR n * (X + 3) <= (INR terms + 1) * (X + 3)) by (apply Rmult_le_compat_r; lra).
  assert (B2 : (INR terms + 1) * (X + 1) <= (INR terms + 1) * (X + 1) * reach).
  { rewrite <- (Rmult_1_r ((INR terms + 1) * (X + 1))) at 1. apply Rmult_le_compat_l; [apply Rmult_le_pos|]; lra. }
  assert (B3 : reach <= (INR terms + 1) * (X + 1) * reach).
  { rewrite <- (Rmult_1_l reach) at 1. apply Rmult_le_compat_r; [lra|].
    assert (0 <= INR terms * X) by (apply Rmult_le_pos; lra). lra. }
  assert (B4 : 0 <= INR terms * X) by (apply Rmult_le_pos; lra). lra.
Qed.

(** However large the parts are, they are at most [h] times all terms. *)
Lemma roundings_simple c f m h : nonneg m -> descending m -> 0 <= c -> f <= total m -> (length m <= h)%nat ->
  roundings c f m (total m) <= INR h * total m.
Proof.
  intros Nm Dm Hc Hf Hm. assert (T0 := total_pos m Nm). unfold roundings. rewrite <- worst_sorted by assumption.
  assert (W := worst_simple c f m Nm Hf).
  destruct m as [|x m]; [change (worst c f []) with 0; change (total []) with 0; lra|].
  assert (INR (pred (length (x :: m))) * total (x :: m) + total (x :: m) = INR (length (x :: m)) * total (x :: m))
    by (cbn [length pred]; rewrite S_INR; ring).
  assert (INR (length (x :: m)) * total (x :: m) <= INR h * total (x :: m)) by (apply Rmult_le_compat_r; [lra|now apply le_INR]).
  lra.
Qed.

(** The checker's formula, of second order in [h u]. *)
Lemma layer_formula c f m h P : nonneg m -> descending m -> 0 <= c -> 0 <= f <= total m -> (length m <= h)%nat ->
  INR h * u <= / 2 ^ 9 -> 0 <= P <= total m ->
  u * roundings c f m P / (1 - INR h * u) <= u * (roundings c f m P + 251 / 250 * INR h ^ 2 * u * total m).
Proof.
  assert (K : 251 / 250 = 251 / 250) by reflexivity. set (k := 251 / 250) in K at 1 |- *. clearbody k.
  intros Nm Dm Hc [Hf0 Hf] Hm Hh [HP0 HP]. assert (Hu := u_pos). assert (P1 := pos_INR h).
  assert (Hhu : 0 <= INR h * u) by (apply Rmult_le_pos; lra).
  assert (Rs := roundings_simple c f m h Nm Dm Hc Hf Hm). unfold roundings in *.
  assert (C0 : 0 <= climb c f m) by (rewrite <- worst_sorted by assumption; now apply worst_pos).
  set (t := climb c f m + P) in *. assert (Ht : 0 <= t <= INR h * total m) by (unfold t; lra).
  unfold Rdiv. rewrite Rmult_assoc. apply Rmult_le_compat_l; [lra|].
  apply (Rmult_le_reg_r (1 - INR h * u)); [lra|]. rewrite Rmult_assoc, Rinv_l, Rmult_1_r by lra.
  set (e := INR h * u) in *.
  assert (E1 : k * INR h ^ 2 * u * total m = k * e * (INR h * total m)) by (unfold e; ring). rewrite E1.
  assert (E2 : k * e * t <= k * e * (INR h * total m)) by (apply Rmult_le_compat_l; [rewrite K|]; lra).
  assert (E3 : 0 <= k - 1 - k * e) by (rewrite K; lra).
  apply Rle_trans with ((t + k * e * t) * (1 - e)); [|apply Rmult_le_compat_r; lra].
  replace ((t + k * e * t) * (1 - e)) with (t + t * e * (k - 1 - k * e)) by ring.
  assert (0 <= t * e * (k - 1 - k * e)) by (apply Rmult_le_pos; [apply Rmult_le_pos|]; lra). lra.
Qed.

(** [finite]: the two conditions that the checker tests keep every partial result in range. *)
Lemma layer_finite m h terms reach X U c f : nonneg m -> descending m -> 0 <= c -> f <= total m ->
  (length m <= h)%nat -> (h <= 2 ^ 15)%nat -> (terms < h)%nat -> 0 <= U ->
  U <= 64 * (INR terms + 1) * reach * (X + 1) * eta -> 0 <= reach -> 0 <= X ->
  2 * total m < 2 ^ 127 -> 2 * (reach * (X + 1)) < 2 ^ 127 ->
  INR h * u <= / 2 /\ total m + (u * roundings c f m (total m) / (1 - INR h * u) + U) <= largest.
Proof.
  intros Nm Dm Hc Hcf Hm Hh Ht HU HUb Hr HX Hf1 Hf2. assert (Hu := u_pos). assert (He := eta_pos).
  assert (H15 : INR h <= 2 ^ 15).
  { replace (2 ^ 15) with (INR (2 ^ 15)) by (rewrite pow_INR; reflexivity). now apply le_INR. }
  assert (P := pos_INR h).
  assert (Hhu : INR h * u <= / 2 ^ 9).
  { apply Rle_trans with (2 ^ 15 * u); [apply Rmult_le_compat_r; lra|]. unfold u. lra. }
  split; [lra|].
  assert (T0 := total_pos m Nm).
  assert (Rm := roundings_simple c f m h Nm Dm Hc Hcf Hm).
  assert (D : u * roundings c f m (total m) / (1 - INR h * u) <= / 2 ^ 8 * total m).
  { apply (Rmult_le_reg_r (1 - INR h * u)); [lra|]. unfold Rdiv. rewrite Rmult_assoc, Rinv_l, Rmult_1_r by lra.
    apply Rle_trans with (INR h * u * total m).
    - replace (INR h * u * total m) with (u * (INR h * total m)) by ring. apply Rmult_le_compat_l; lra.
    - replace (/ 2 ^ 8 * total m * (1 - INR h * u)) with (/ 2 ^ 8 * (1 - INR h * u) * total m) by ring.
      apply Rmult_le_compat_r; lra. }
  assert (V : U <= 2 ^ 22).
  { apply Rle_trans with (1 := HUb).
    assert (Q : INR terms + 1 <= 2 ^ 15) by (apply Rle_trans with (INR h); [rewrite <- S_INR; now apply le_INR|exact H15]).
    replace (64 * (INR terms + 1) * reach * (X + 1) * eta) with (64 * (INR terms + 1) * (eta * (reach * (X + 1)))) by ring.
    assert (Z : 0 <= reach * (X + 1)) by (apply Rmult_le_pos; lra).
    assert (Y : eta * (reach * (X + 1)) <= 1).
    { apply Rle_trans with (eta * 2 ^ 126); [apply Rmult_le_compat_l; lra|]. unfold eta. rewrite Rinv_l; [lra|]. apply pow_nonzero. lra. }
    apply Rle_trans with (64 * (INR terms + 1) * 1); [|lra].
    apply Rmult_le_compat_l; [generalize (pos_INR terms); lra|exact Y]. }
  unfold largest. lra.
Qed.

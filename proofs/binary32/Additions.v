(** * One more addition, and what it adds to the bound of the rounding

    - [one_addition]: what one rounded addition of two inexact operands is off by;
    - [error_perm]: [error] of Terms.v depends on the terms, not on their order;
    - [error_join], [error_fma]: [error] covers one more addition, or one more fused multiply-add.

    Rests on Terms.v and WorstTree.v. The induction over all evaluations is in Sums.v. *)

From Coq Require Import Reals Lra Lia List Permutation.
From Lastbit Require Import Statement Totals binary32.WorstTree binary32.Terms.
Import ListNotations.
Open Scope R_scope.

Section Cap.
Variable c : R.
Hypothesis Hc : 0 <= c.

Lemma first_order_pos f l : 0 <= f -> 0 <= first_order c f l.
Proof.
  intros Hf. unfold first_order. generalize u_pos eta_pos (worst_pos c Hc f _ Hf (live_nonneg l)) (products_pos l) (flush_pos l)
    (pos_INR (pred (length (live l)))). intros.
  apply Rplus_le_le_0_compat; apply Rmult_le_pos; lra.
Qed.

Lemma error_pos f l : 0 <= f -> 0 <= error c f l.
Proof. intros Hf. unfold error. apply Rmult_le_pos; [generalize (pow_1u (length (live l))); lra|now apply first_order_pos]. Qed.

(** Everything depends on the terms only, not on their order. *)
Lemma error_perm f l l' : Permutation l l' -> error c f l = error c f l'.
Proof.
  intros P. assert (L : Permutation (live l) (live l')).
  { unfold live. assert (Q := Permutation_map magnitude P).
    induction Q as [|m k k' _ IH|m m' k|k k' k'' _ IH1 _ IH2]; simpl; auto.
    - destruct (nonzero m); auto.
    - destruct (nonzero m), (nonzero m'); auto using perm_swap.
    - now apply perm_trans with (filter nonzero k'). }
  unfold error, first_order. rewrite (Permutation_length L), (worst_perm c f _ _ L).
  assert (T : forall g, total (map g l) = total (map g l')) by (intros g; now apply total_perm, Permutation_map).
  now rewrite !T.
Qed.

(** If [a] and [b] are within [Ea] and [Eb] of [sa] and [sb], whose sum is at most [f] and of
    magnitudes [Ma] and [Mb], the rounded sum is within [(1 + u) (Ea + Eb) + u f + 4 eta]. *)
Lemma one_addition a b sa sb Ma Mb Ea Eb f p' q' r :
  Rabs (a - sa) <= Ea -> Rabs sa <= Ma -> Rabs (b - sb) <= Eb -> Rabs sb <= Mb -> Rabs (sa + sb) <= f ->
  reads a p' -> reads b q' -> Rabs (r - (p' + q')) <= u * Rabs (p' + q') + eta ->
  Rabs (r - (sa + sb)) <= (1 + u) * (Ea + Eb) + u * f + 4 * eta.
Proof.
  intros Ha Hsa Hb Hsb Hf Ra Rb Hr. assert (Hu := u_pos). assert (He := eta_pos).
  assert (D := Rabs_triang (p' - a + (a - sa)) (q' - b + (b - sb))).
  assert (D1 := Rabs_triang (p' - a) (a - sa)). assert (D2 := Rabs_triang (q' - b) (b - sb)).
  assert (ea := reads_error _ _ Ra). assert (eb := reads_error _ _ Rb).
  set (d := p' - a + (a - sa) + (q' - b + (b - sb))) in *. assert (Hd : p' + q' = d + (sa + sb)) by (unfold d; ring).
  assert (S : Rabs (p' + q') <= f + (Ea + Eb + 2 * eta)).
  { rewrite Hd. apply Rle_trans with (1 := Rabs_triang _ _). lra. }
  replace (r - (sa + sb)) with ((r - (p' + q')) + d) by (unfold d; ring).
  apply Rle_trans with (1 := Rabs_triang _ _).
  assert (u * Rabs (p' + q') <= u * (f + (Ea + Eb + 2 * eta))) by (apply Rmult_le_compat_l; lra).
  assert (u * (2 * eta) <= eta).
  { replace (u * (2 * eta)) with (2 * u * eta) by ring. rewrite <- (Rmult_1_l eta) at 2.
    apply Rmult_le_compat_r; [lra|]. unfold u. lra. }
  lra.
Qed.

(** The parts of a sum, each with its own terms or the cap for the whole. *)
Definition part (l : list term) : R := Rmin (size l) c.

Lemma part_pos l : 0 <= part l.
Proof. apply Rmin_glb; [apply size_pos|exact Hc]. Qed.

Lemma part_sum l : bounded c l -> Rabs (exact_sum l) <= part l.
Proof. intros H. apply Rmin_glb; [apply exact_sum_size|now apply bounded_all]. Qed.

Lemma error_join f l1 l2 : 0 <= f -> ~ all_vanish l1 -> ~ all_vanish l2 ->
  (1 + u) * (error c (part l1) l1 + error c (part l2) l2) + u * f + 4 * eta <= error c f (l1 ++ l2).
Proof.
  rewrite !live_vanish. intros Hf N1 N2. unfold error. rewrite live_app, app_length.
  assert (L1 : (0 < length (live l1))%nat) by (destruct (live l1); [easy|simpl; lia]).
  assert (L2 : (0 < length (live l2))%nat) by (destruct (live l2); [easy|simpl; lia]).
  set (n1 := length (live l1)) in *. set (n2 := length (live l2)) in *.
  assert (F : first_order c (part l1) l1 + first_order c (part l2) l2 + (u * f + 4 * eta) <= first_order c f (l1 ++ l2)).
  { unfold first_order. rewrite live_app, app_length, !map_app, !total_app. fold n1 n2.
    assert (W := worst_join c f _ _ (live_nonneg l1) (live_nonneg l2) N1 N2).
    rewrite !total_live in W. fold (part l1) (part l2) in W.
    replace (pred (n1 + n2)) with (S (pred n1 + pred n2)) by lia. rewrite S_INR, plus_INR.
    assert (u * (worst c (part l1) (live l1) + worst c (part l2) (live l2) + f) <= u * worst c f (live l1 ++ live l2))
      by (apply Rmult_le_compat_l; [apply Rlt_le, u_pos|exact W]). lra. }
  assert (K1 := amplify (S n1) (n1 + n2) _ ltac:(lia) (first_order_pos (part l1) l1 (part_pos l1))).
  assert (K2 := amplify (S n2) (n1 + n2) _ ltac:(lia) (first_order_pos (part l2) l2 (part_pos l2))).
  assert (K3 : 0 <= u * f + 4 * eta).
  { generalize u_pos eta_pos. intros. assert (0 <= u * f) by (apply Rmult_le_pos; lra). lra. }
  assert (K4 := amplify 0 (n1 + n2) _ ltac:(lia) K3). rewrite pow_O, Rmult_1_l in K4.
  assert (K5 := Rmult_le_compat_l ((1 + u) ^ (n1 + n2)) _ _ ltac:(generalize (pow_1u (n1 + n2)); lra) F).
  change ((1 + u) ^ S n1) with ((1 + u) * (1 + u) ^ n1) in K1.
  change ((1 + u) ^ S n2) with ((1 + u) * (1 + u) ^ n2) in K2. lra.
Qed.

Lemma error_fma f w x l : 0 <= f -> w * x <> 0 -> ~ all_vanish l ->
  (1 + u) * error c (part l) l + u * f + eta * (2 * (Rabs w + Rabs x) + 4) <= error c f (Product w x :: l).
Proof.
  intros Hf N Nl. rewrite live_vanish in Nl. unfold error.
  assert (Z : nonzero (magnitude (Product w x)) = true) by now apply nonzero_product.
  assert (E : live (Product w x :: l) = Rabs (w * x) :: live l) by (unfold live; simpl; now rewrite Z).
  assert (L : (0 < length (live l))%nat) by (destruct (live l); [easy|simpl; lia]).
  rewrite E. cbn [length]. set (n := length (live l)) in *. set (m := Rabs (w * x)) in *.
  assert (Hm : 0 <= m) by apply Rabs_pos.
  assert (F : first_order c (part l) l + (u * f + eta * (2 * (Rabs w + Rabs x) + 4)) <= first_order c f (Product w x :: l)).
  { unfold first_order. rewrite E. cbn [length map flush_of total fold_right]. rewrite Z.
    fold n. fold (total (map products_of l)). fold (total (map flush_of l)).
    assert (P : 0 <= products_of (Product w x)) by (cbn [products_of]; destruct scales; [lra|exact Hm]).
    assert (W : worst c (part l) (live l) + f <= worst c f (m :: live l)).
    { assert (H1 : nonneg [m]) by now constructor.
      generalize (worst_join c f [m] (live l) H1 (live_nonneg l) ltac:(easy) Nl). rewrite total_live. fold (part l).
      rewrite (worst_short c _ [m]) by auto. cbn [app]. lra. }
    assert (u * (worst c (part l) (live l) + f) <= u * (worst c f (m :: live l)))
      by (apply Rmult_le_compat_l; [apply Rlt_le, u_pos|exact W]).
    assert (0 <= u * products_of (Product w x)) by (apply Rmult_le_pos; [apply Rlt_le, u_pos|exact P]).
    replace (pred (S n)) with (S (pred n)) by lia. rewrite S_INR. generalize eta_pos. lra. }
  assert (K1 := amplify (S n) (S n) _ ltac:(lia) (first_order_pos (part l) l (part_pos l))).
  assert (K3 : 0 <= u * f + eta * (2 * (Rabs w + Rabs x) + 4)).
  { generalize u_pos eta_pos (Rabs_pos w) (Rabs_pos x). intros.
    apply Rplus_le_le_0_compat; apply Rmult_le_pos; lra. }
  assert (K4 := amplify 0 (S n) _ ltac:(lia) K3). rewrite pow_O, Rmult_1_l in K4.
  assert (K5 := Rmult_le_compat_l ((1 + u) ^ S n) _ _ ltac:(generalize (pow_1u (S n)); lra) F).
  change ((1 + u) ^ S n) with ((1 + u) * (1 + u) ^ n) in *. lra.
Qed.
End Cap.
